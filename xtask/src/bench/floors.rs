//! The floors: the engines' own clients, piped into each other. No tool that reads and writes through
//! the same interfaces does less work.

use whimbrel_testkit::Server;

use super::measure::Measured;
use super::servers::shell_client;
use super::tpch::Table;

/// Two parallel pipes of binary COPY between PostgreSQL servers, then the keys, two at a time.
///
/// The largest table goes through both pipes, half of its pages each; the others are dealt out so that
/// both pipes end at about the same time.
pub(crate) fn postgres_to_postgres(
    source: &Server,
    target: &Server,
    tables: &[&Table],
    keys: bool,
) -> Measured {
    let (from, to) = (shell_client(source), shell_client(target));
    let create: String = tables.iter().map(|table| table.create()).collect();
    let largest = tables[0].name;
    let mut lanes = [Vec::new(), Vec::new()];
    for (lane, half) in lanes.iter_mut().zip(["<", ">="]) {
        lane.push(format!(
            "pipe {largest} \"where ctid {half} '($middle,0)'\""
        ));
    }
    let mut key_lanes = [vec![tables[0].add_key()], Vec::new()];
    for (index, table) in tables.iter().enumerate().skip(1) {
        // The second largest alone is about as large as all that come after it.
        lanes[usize::from(index > 1)].push(format!("pipe {} ''", table.name));
        key_lanes[1].push(table.add_key());
    }
    let keys = if keys {
        let key_lane = |lane: &Vec<String>| format!("({to} -c \"{}\") & ", lane.join(" "));
        let both: String = key_lanes
            .iter()
            .filter(|l| !l.is_empty())
            .map(key_lane)
            .collect();
        format!("{both} wait_all\n")
    } else {
        String::new()
    };
    let lanes = lanes
        .map(|lane| format!("({}) & ", lane.join("; ")))
        .join("");
    Measured::script(&format!(
        "wait_all() {{ for job in $(jobs -p); do wait \"$job\"; done; }}\n\
         pipe() {{ {from} -c \"copy (select * from $1 $2) to stdout (format binary)\" | \
             {to} -c \"copy $1 from stdin (format binary)\"; }}\n\
         {to} -c '{create}'\n\
         middle=$({from} -A -t -c \"select relpages / 2 from pg_class where relname = '{largest}'\")\n\
         {lanes} wait_all\n\
         {keys}"
    ))
}

/// The client's unbuffered output, piped into COPY.
pub(crate) fn mysql_to_postgres(source: &Server, target: &Server, table: &Table) -> Measured {
    let (from, to, name) = (shell_client(source), shell_client(target), table.name);
    Measured::script(&format!(
        "{to} -c '{}'\n\
         {from} --quick --batch -N -e 'select * from {name}' | {to} -c 'copy {name} from stdin'\n",
        table.create()
    ))
}

/// COPY's text output, which is LOAD DATA's default format, piped into it.
pub(crate) fn postgres_to_mysql(source: &Server, target: &Server, table: &Table) -> Measured {
    let (from, to, name) = (shell_client(source), shell_client(target), table.name);
    let load = format!("load data local infile '/dev/stdin' into table {name}");
    Measured::script(&format!(
        "{to} -e '{}'\n\
         {from} -c 'copy {name} to stdout' | {to} -e \"{load}\"\n",
        table.create_with_key()
    ))
}
