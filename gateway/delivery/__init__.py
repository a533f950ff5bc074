"""Send what is billed to the billing systems that people have."""
