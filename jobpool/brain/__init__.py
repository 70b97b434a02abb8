"""Brain data: maps of participants, parcellations, and what a map is in each parcel."""
