//! A disk in memory that lies as real ones may (to be written).
