"""A million tasks a day through the real code of all four functions, in virtual time.

AWS is in memory here, and fast: a store that keeps books on every partition (`dynamodb`), and the other services
(`services`). What Lambda does around the functions, and how much processor each invocation has, is in `simulation`.
"""
