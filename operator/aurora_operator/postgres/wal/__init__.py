"""WAL as files and bytes: segments, timelines, where it ends, receiving it."""
