"""What a tier takes and gives as the OpenAI API has it: the fields, their checks, and the document of both.

Imports ``errors`` and ``protocol``.
"""
