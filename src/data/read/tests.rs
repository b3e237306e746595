//! Whole files through the reader.
