"""How one image becomes a vector. One file is one encoder: `class Name(nn.Module)`, named like the file.

The constructor takes `width` (the length of the vector) and options of its own, all with defaults; `forward` takes
images [N, 1, 28, 28], ink 1 on 0, and gives [N, width].
"""
