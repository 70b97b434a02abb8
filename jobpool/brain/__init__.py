"""Brain data: maps of participants, parcellations, and what a map is in each parcel.

    arrays          .npy and .npz files and sparse matrices, read as streams without pickles
    images          NIfTI, GIFTI and CIFTI files, read through nibabel
    spaces          what the vertices of a file are, and whether two files have the same ones
    map_files       where maps come from: one file for each participant, or one array for all
    maps            the maps of all participants, in blocks
    parcel_files    one file of a parcellation: labels, or weights
    random          parcellations that grow over a mesh
    parcellations   a parcellation as a matrix of weights, whatever it came from
    reduction       from maps to ROI values

``cache`` reads maps and parcellations through this room, ``learning`` checks them; both may call
any module. Nothing here knows a study, a task or a pool.
"""
