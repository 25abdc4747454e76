"""What users write and read: the two kinds, their conditions and the contracts with the pods. Pure; decides nothing.

Every field is typed once, here: CRDs, reference pages, the examples' check and admission come from these models.
"""
