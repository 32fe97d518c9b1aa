//! Finds the certificates of strangers where they publish them.
