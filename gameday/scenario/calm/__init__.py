"""A calm run, played beforehand on a clock that jumps: nothing fails, and every call takes as long as most do.

What the load decides, its own lanes decide; how consumers poll, handle and settle is retold here, call by call. It is
played to know how messages are put into calls, which is all that the plan wants of it.
"""
