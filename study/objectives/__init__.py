"""What a body of our own can be pretrained on. This table is the only registry: name -> "module:function"."""

OBJECTIVES = {
    "language": "study.objectives.language:language",
    "bit-memory": "study.objectives.bit_memory:bit_memory",
}
