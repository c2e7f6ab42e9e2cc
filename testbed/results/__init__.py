"""What a run leaves, and what of it may be believed.

Imports scenario and errors: a finished run can be read anywhere, and the audit shares no code with what it
audits.
"""
