"""Exact n-gram statistics: a C kernel, its numpy face, counts on disk, and a slow twin to hold it against."""
