//! Headers as views and representations.
