# Everything written, before the power is taken away. Parameters: none.
sync
