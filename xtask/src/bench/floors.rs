//! The floors: the engines' own clients, piped into each other. No tool that reads and writes through
//! the same interfaces does less work.

use whimbrel_testkit::Server;

use super::measure::Measured;
use super::servers::shell_client;
use super::tpch::Table;

/// Two parallel pipes of binary COPY between PostgreSQL servers, then the keys.
///
/// The largest table goes through both pipes first, half of its pages each. Then one side builds its key
/// while the other copies the other tables, each followed by its key. Without keys both sides copy.
pub(crate) fn postgres_to_postgres(
    source: &Server,
    target: &Server,
    tables: &[&Table],
    keys: bool,
) -> Measured {
    let (from, to) = (shell_client(source), shell_client(target));
    let create: String = tables.iter().map(|table| table.create()).collect();
    let (largest, others) = (tables[0], &tables[1..]);
    let name = largest.name;
    let copy = |table: &Table| format!("pipe {} ''\n", table.name);
    let key = |table: &Table| format!("{to} -c '{}'\n", table.add_key());
    let sides: [String; 2] = if keys {
        let copy_and_key = |table: &&Table| copy(table) + &key(table);
        [key(largest), others.iter().map(copy_and_key).collect()]
    } else {
        // The second largest alone is about as large as all that come after it.
        let (second, rest) = others.split_at(others.len().min(1));
        [second, rest].map(|side| side.iter().map(|table| copy(table)).collect())
    };
    let [one, other] = sides;
    Measured::script(&format!(
        "both() {{ ($1) & local first=$!; ($2) & wait $!; wait $first; }}\n\
         pipe() {{ {from} -c \"copy (select * from $1 $2) to stdout (format binary)\" | \
             {to} -c \"copy $1 from stdin (format binary)\"; }}\n\
         {to} -c '{create}'\n\
         middle=$({from} -A -t -c \"select relpages / 2 from pg_class where relname = '{name}'\")\n\
         low() {{ pipe {name} \"where ctid < '($middle,0)'\"; }}\n\
         high() {{ pipe {name} \"where ctid >= '($middle,0)'\"; }}\n\
         one() {{ :\n{one}}}\n\
         other() {{ :\n{other}}}\n\
         both low high\n\
         both one other\n"
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
