//! The key log: every change of a published key, provable to anybody and without names.
