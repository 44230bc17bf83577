//! Values that the target's type does not hold.
