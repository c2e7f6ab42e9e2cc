"""The embedded translation ladder, English to German: data from Debian's packages, training, weights."""
