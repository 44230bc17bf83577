//! `kill -9` at every named point, in one life of a task.

use whimbrel_connector::failpoint::Point;
use whimbrel_testkit::{Engine, FaultProxy, TestDatabase};

use super::tally;
use crate::ends::{Ends, wait_until};
use crate::follow::process::{Following, Hold};
use crate::follow::torture::Arena;
use crate::random::Random;

/// Definitions are followed in tables that the task made itself.
const BEGIN: [&str; 7] = [
    "--follow",
    "--json",
    "--chunk-size",
    "64KiB",
    "--jobs",
    "2",
    "--no-keys",
];

/// More than a batch takes, so that it is applied in parts.
const HUGE: &str = "begin; insert into huge select a.d + 10 * b.d + 100 * c.d + 1000 * e.d + 10000 * f.d, 0 from digits a, digits b, digits c, digits e, digits f where f.d < 5;
    update huge set counter = counter + 1 where id % 3 = 0; delete from huge where id % 7 > 0; commit; delete from huge;";
