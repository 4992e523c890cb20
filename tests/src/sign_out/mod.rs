//! Going out: here, at the provider, and when the provider says so.

mod back_channel;
mod here;
mod provider;
mod samples;
