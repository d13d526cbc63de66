"""Convolution and pooling of images and sequences."""
