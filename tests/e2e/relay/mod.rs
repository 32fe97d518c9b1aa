//! Mail that leaves: roads that can be trusted, through real Postfix and a signed DNS world of our own.

mod cases;
mod features;
mod open_lab;
mod postfix310;
mod queue;
mod reports;
mod resolver;
mod room;
mod verdicts;
