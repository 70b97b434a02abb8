"""Brain data: maps of participants, parcellations, and the mean of a map in each parcel."""
