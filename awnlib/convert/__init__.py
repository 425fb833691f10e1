"""Any convolutional network made slimmable: `to_slimmable`, and `sort_channels` for pretrained weights."""
