"""The messages of the Open Inference Protocol over gRPC, as `make protos` generates them."""
