"""CSV as bytes: cut into records and cells, read into columns, written from columns, by compiled kernels."""
