"""Weights of others: Caffe's, torchvision's, ONNX graphs; and the layer files of the 2012 program as networks."""
