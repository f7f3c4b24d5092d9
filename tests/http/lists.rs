//! Lists: tags, repositories, referrers.

mod catalog;
mod referrers;
mod tags;
