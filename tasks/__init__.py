"""What can be learned. This table is the only registry: name -> "module:Class", imported on use."""

TASKS = {
    "bit-memory": "tasks.bits:BitMemory",
    "bit-xor": "tasks.bits:BitXor",
    "listops": "tasks.listops:ListOps",
    "mnist": "tasks.images:Mnist",
    "cifar10": "tasks.images:Cifar10",
    "cifar10-lra": "tasks.images:Cifar10Lra",
    "homology": "tasks.homology:Homology",
    "digits": "tasks.images:Digits",
}
