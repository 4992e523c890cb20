//! Sessions: how they are known, how long they live, how their tokens are replaced, and what does not count as one.

mod forged;
mod keeping;
mod lifetime;
mod rotation;
mod unusual;
mod without;
