mod counting;
mod receiving;
mod sending;
mod world;
