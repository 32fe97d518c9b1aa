//! Mail that leaves: roads that can be trusted, through real Postfix and a signed DNS world of our own.

mod cases;
mod enforced;
mod features;
mod garbage;
mod insecure_mx;
mod kill;
mod names;
mod open_lab;
mod postfix310;
mod queue;
mod record;
mod reports;
mod requiretls;
mod resolver;
mod room;
mod sendmail;
mod settled;
mod validation;
mod verdicts;
