//! `kill -9` at every named point, in one life of a task.

use whimbrel_connector::failpoint::Point;
use whimbrel_testkit::Engine;

use super::tally;
use crate::ends::{Ends, wait_until};
use crate::follow::process::{Following, Hold};
use crate::follow::torture::{Arena, MAKES_TABLES};
use crate::random::Random;

/// More than a batch takes, so that it is applied in parts.
const HUGE: &str = "begin; insert into huge select a.d + 10 * b.d + 100 * c.d + 1000 * e.d + 10000 * f.d, 0 from digits a, digits b, digits c, digits e, digits f where f.d < 5;
    update huge set counter = counter + 1 where id % 3 = 0; delete from huge where id % 7 > 0; commit;";

/// What makes a task that follows come to a point.
fn cause(point: Point) -> String {
    let name = point.name().replace('-', "_");
    match point {
        Point::DefinitionChanging | Point::DefinitionChanged => format!(
            "update huge set counter = counter + 1; alter table huge add column {name} int; update huge set {name} = counter where id % 2 = 0"
        ),
        Point::NewcomerLoading | Point::Rejoining => {
            format!(
                "create table {name} (id int primary key, v int); insert into {name} values (1, 1), (2, 2)"
            )
        }
        Point::PartApplied => HUGE.to_owned(),
        _ => "update seats set counter = counter + 1".to_owned(),
    }
}

async fn killed_everywhere(from: Engine, to: Engine, mut random: Random) {
    eprintln!("{from} to {to}");
    let ends = Ends::between(from, to, "sweep");
    let mut arena = Arena::new(ends, random.split()).await;
    arena.options = MAKES_TABLES;
    let huge = "create table huge (id int primary key, counter int not null)";
    arena.ends.source.sql(huge).unwrap();
    arena.steps(4);
    for point in Point::ALL {
        let hold = Hold::at(point, 1);
        let mut following = if point <= Point::FirstCheckpoint {
            // Nothing is there yet that could be gone on with.
            arena.begin_held(&hold)
        } else {
            arena.resume_held(&hold)
        };
        if point > Point::TableFinished {
            following.wait_until("it followed", |it| {
                hold.is_held() || Following::is_following(it)
            });
            arena.ends.source.sql(&cause(point)).unwrap();
        }
        following.wait_until(point.name(), |_| hold.is_held());
        arena.steps(1);
        following.kill();
        tally(1, &format!("kill at {}", point.name()));
    }
    let mut following = arena.resume();
    arena.wait_for_mark(&mut following);
    arena.check_equal();
    following.wait_until_caught_up();
    let ends = &arena.ends;
    wait_until(|| ends.run("validate", &[]).exit_code == Some(0));
    following.interrupt();
    following.check_nothing_left_out();
    ends.run_well("forget", &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_point() {
    let mut random = Random::announced();
    let [from, to] = match random.below(3) {
        0 => [Engine::Postgres15, Engine::Mariadb1011],
        1 => [Engine::Mysql97, Engine::Postgres18],
        _ => [Engine::Postgres18, Engine::Postgres15],
    };
    killed_everywhere(from, to, random).await;
}
