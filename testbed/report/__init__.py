"""What people read of a run: tables now; plots and the page have their place here."""
