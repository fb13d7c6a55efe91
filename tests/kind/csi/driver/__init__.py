"""A CSI driver for tests and demonstrations: node-local XFS volumes on a reflink pool, one image file each."""

DRIVER = "csi.aurorapg.io"
