//! TPC-H tables: their columns, their keys, and their rows from the generator in this process.

use std::fmt::Write as _;
use std::io::{BufWriter, Write};

use anyhow::{Context, Result};
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator,
    PartSuppGenerator, RegionGenerator, SupplierGenerator,
};

/// A table, in words that PostgreSQL, MySQL and MariaDB all understand.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    columns: &'static str,
    pub(crate) key: &'static str,
}

/// All tables, the largest first.
pub(crate) const TABLES: &[Table] = &[
    Table {
        name: "lineitem",
        columns: "l_orderkey bigint not null, l_partkey bigint not null, l_suppkey bigint not null, \
            l_linenumber integer not null, l_quantity decimal(15,2) not null, \
            l_extendedprice decimal(15,2) not null, l_discount decimal(15,2) not null, \
            l_tax decimal(15,2) not null, l_returnflag char(1) not null, l_linestatus char(1) not null, \
            l_shipdate date not null, l_commitdate date not null, l_receiptdate date not null, \
            l_shipinstruct char(25) not null, l_shipmode char(10) not null, \
            l_comment varchar(44) not null",
        key: "l_orderkey, l_linenumber",
    },
    Table {
        name: "orders",
        columns: "o_orderkey bigint not null, o_custkey bigint not null, o_orderstatus char(1) not null, \
            o_totalprice decimal(15,2) not null, o_orderdate date not null, \
            o_orderpriority char(15) not null, o_clerk char(15) not null, \
            o_shippriority integer not null, o_comment varchar(79) not null",
        key: "o_orderkey",
    },
    Table {
        name: "partsupp",
        columns: "ps_partkey bigint not null, ps_suppkey bigint not null, ps_availqty integer not null, \
            ps_supplycost decimal(15,2) not null, ps_comment varchar(199) not null",
        key: "ps_partkey, ps_suppkey",
    },
    Table {
        name: "customer",
        columns: "c_custkey bigint not null, c_name varchar(25) not null, c_address varchar(40) not null, \
            c_nationkey bigint not null, c_phone char(15) not null, c_acctbal decimal(15,2) not null, \
            c_mktsegment char(10) not null, c_comment varchar(117) not null",
        key: "c_custkey",
    },
    Table {
        name: "part",
        columns: "p_partkey bigint not null, p_name varchar(55) not null, p_mfgr char(25) not null, \
            p_brand char(10) not null, p_type varchar(25) not null, p_size integer not null, \
            p_container char(10) not null, p_retailprice decimal(15,2) not null, \
            p_comment varchar(23) not null",
        key: "p_partkey",
    },
    Table {
        name: "supplier",
        columns: "s_suppkey bigint not null, s_name char(25) not null, s_address varchar(40) not null, \
            s_nationkey bigint not null, s_phone char(15) not null, s_acctbal decimal(15,2) not null, \
            s_comment varchar(101) not null",
        key: "s_suppkey",
    },
    Table {
        name: "nation",
        columns: "n_nationkey bigint not null, n_name char(25) not null, n_regionkey bigint not null, \
            n_comment varchar(152) not null",
        key: "n_nationkey",
    },
    Table {
        name: "region",
        columns: "r_regionkey bigint not null, r_name char(25) not null, r_comment varchar(152) not null",
        key: "r_regionkey",
    },
];

impl Table {
    /// The statement that makes the table without its key.
    pub(crate) fn create(&self) -> String {
        format!("create table {} ({});", self.name, self.columns)
    }

    /// The statement that makes the table with its key.
    pub(crate) fn create_with_key(&self) -> String {
        format!(
            "create table {} ({}, primary key ({}));",
            self.name, self.columns, self.key
        )
    }

    /// The statement that adds the key.
    pub(crate) fn add_key(&self) -> String {
        format!("alter table {} add primary key ({});", self.name, self.key)
    }

    /// Writes the rows at this scale as lines of columns parted by `|`. Answers how many there are.
    pub(crate) fn write_rows(&self, scale: f64, out: impl Write) -> Result<u64> {
        match self.name {
            "lineitem" => write_lines(LineItemGenerator::new(scale, 1, 1).iter(), out),
            "orders" => write_lines(OrderGenerator::new(scale, 1, 1).iter(), out),
            "partsupp" => write_lines(PartSuppGenerator::new(scale, 1, 1).iter(), out),
            "customer" => write_lines(CustomerGenerator::new(scale, 1, 1).iter(), out),
            "part" => write_lines(PartGenerator::new(scale, 1, 1).iter(), out),
            "supplier" => write_lines(SupplierGenerator::new(scale, 1, 1).iter(), out),
            "nation" => write_lines(NationGenerator::new(scale, 1, 1).iter(), out),
            _ => write_lines(RegionGenerator::new(scale, 1, 1).iter(), out),
        }
        .with_context(|| format!("write the rows of {}", self.name))
    }
}

fn write_lines(rows: impl Iterator<Item = impl std::fmt::Display>, out: impl Write) -> Result<u64> {
    const BUFFER_BYTES: usize = 1 << 20;
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, out);
    let mut line = String::new();
    let mut count = 0;
    for row in rows {
        line.clear();
        write!(line, "{row}")?;
        // The generator ends each column, the last one too, with the separator.
        line.pop();
        line.push('\n');
        out.write_all(line.as_bytes())?;
        count += 1;
    }
    out.flush()?;
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_as_many_columns_as_their_table() {
        for table in TABLES {
            let mut rows = Vec::new();
            assert!(table.write_rows(0.001, &mut rows).unwrap() > 0);
            let rows = String::from_utf8(rows).unwrap();
            let columns = table.columns.matches(" not null").count();
            assert!(
                rows.lines().all(|row| row.split('|').count() == columns),
                "{}",
                table.name
            );
        }
    }
}
