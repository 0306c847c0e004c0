//! The one promise that lets the engine, made for one thread, be used by two in turn.
#![allow(unsafe_code)]

use std::ops::{Deref, DerefMut};

use crate::stack::Stack;

/// A stack that is only ever reached through the lock around it.
pub(crate) struct Confined(Stack);

// SAFETY: what is not `Send` in a stack is reference counts (the pool's, the wire's) whose every
// holder lies inside of the same stack: `Stack` gives out no handle to them, only bytes and
// numbers. So whoever holds the lock is the only one to touch any of them.
unsafe impl Send for Confined {}

impl Confined {
    pub(crate) fn new(stack: Stack) -> Confined {
        Confined(stack)
    }
}

impl Deref for Confined {
    type Target = Stack;

    fn deref(&self) -> &Stack {
        &self.0
    }
}

impl DerefMut for Confined {
    fn deref_mut(&mut self) -> &mut Stack {
        &mut self.0
    }
}
