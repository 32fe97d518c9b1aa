//! milter
