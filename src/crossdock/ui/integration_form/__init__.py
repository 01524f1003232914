"""The form of an integration: its fields as a document and back, what it means in words, and the keys it brings along.

The names of its fields are the paths of the integration document. A form is made from a document (`filling`) and read
as one (`writing`); reading what was made gives the same document again.
"""
