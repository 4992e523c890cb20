//! Sessions: how they are known, how long they live, how their tokens are replaced, and what does not count as one.

mod forged;
mod lifetime;
mod management;
mod rotation;
mod samples;
mod unusual;
mod without;
