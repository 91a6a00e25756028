use super::*;

fn grid() -> Grid {
    let row = |label: Option<&str>, cells: &[&str]| Row {
        label: label.map(Cell::text),
        cells: cells.iter().map(|cell| Cell::text(cell)).collect(),
        ..Row::default()
    };
    Grid {
        headings: vec![
            Heading::words("LISTENER", 0, [13; 3], 8),
            Heading::words("HELD BY", 3, [10; 3], 8),
            Heading::numbers("ACCEPTED", 1),
            Heading::numbers("HERD", 2),
        ],
        leading: 2,
        rows: vec![
            row(None, &["[2001:db8::1]:8080", "nginx epoll", "1234567", "8.00"]),
            row(Some("  … 28 more workers"), &["", "", "7", ""]),
        ],
        ..Grid::default()
    }
}

fn text(width: usize) -> Vec<String> {
    shown(&grid(), width)
}

fn shown(grid: &Grid, width: usize) -> Vec<String> {
    let layout = grid.layout(width);
    grid.lines(&layout).iter().map(|line| line.paint(width, false)).collect()
}

#[test]
fn columns_leave_by_rank_and_numbers_stay_whole() {
    assert_eq!(
        text(60),
        [
            "LISTENER           HELD BY     ACCEPTED HERD",
            "[2001:db8::1]:8080 nginx epoll  1234567 8.00",
            "  … 28 more workers                   7",
        ]
    );
    assert_eq!(
        text(36),
        [
            "LISTENER      HELD BY  ACCEPTED HERD",
            "[2001:db8::1… nginx e…  1234567 8.00",
            "  … 28 more workers           7",
        ]
    );
    assert_eq!(
        text(28),
        ["LISTENER       ACCEPTED HERD", "[2001:db8::1]…  1234567 8.00", "  … 28 more w…        7",]
    );
    assert_eq!(text(1), ["…", "…", "…"]);
    assert_eq!(text(0), ["", "", ""]);
}
#[test]
fn a_column_without_anything_to_say_is_left_out() {
    let mut grid = grid();
    grid.headings[2].shown = Shown::WhereSaid;
    grid.headings[1].shown = Shown::WhereDifferent;
    assert_eq!(shown(&grid, 60)[0], "LISTENER            ACCEPTED HERD");
    grid.rows[0].cells[2] = Cell::text("0");
    grid.rows[1].cells[2] = Cell::text("-");
    assert_eq!(shown(&grid, 60)[0], "LISTENER            HERD");
}

#[test]
fn a_remark_is_beside_its_row_where_there_is_room() {
    let mut grid = grid();
    grid.remarks = "WHY";
    grid.rows[0].remark = "one that is too long for any line of this table, by far".into();
    assert_eq!(
        shown(&grid, 80)[..3],
        [
            "LISTENER           HELD BY     ACCEPTED HERD WHY",
            "[2001:db8::1]:8080 nginx epoll  1234567 8.00 one that is too long for any line",
            "                                             of this table, by far",
        ]
    );
    let below = shown(&grid, 60);
    assert_eq!(below[0], "LISTENER           HELD BY     ACCEPTED HERD");
    assert_eq!(below[2], "  one that is too long for any line of this table, by far");
}
