"""Networks: the embedded model's, pretrained backbones behind one interface, and the heads put on them."""
