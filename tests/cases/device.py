"""Copies between devices; on one device they are plain copies."""

from . import Case, real

CASES = [Case("_CrossDeviceCopy", [real(3, 5)], {}, lambda x: x)]
