"""The versions of models in SQL: what is served, under which labels, and who has it in memory."""
