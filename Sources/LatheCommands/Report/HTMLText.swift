/// Pieces of an HTML page.
enum HTMLText {
    static func escaped(_ text: String) -> String {
        text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;").replacing("\"", with: "&quot;")
    }

    /// A table whose heads sort it.
    /// - Parameter columns: titles, and whether they are numbers.
    static func table(_ columns: [(title: String, isNumber: Bool)], _ rows: [[Cell]], caption: String) -> String {
        let heads = columns.map { "<th scope=\"col\"\($0.isNumber ? " class=\"n\"" : "")><button type=\"button\">\(escaped($0.title))</button></th>" }
        let body = rows.map { row in
            let cells = zip(columns, row).enumerated().map { place, pair in
                let (column, cell) = pair
                let value = cell.value.map { " data-value=\"\($0)\"" } ?? ""
                return "<\(place == 0 ? "th scope=\"row\"" : "td")\(column.isNumber ? " class=\"n\"" : "")\(value)>\(escaped(cell.text))</\(place == 0 ? "th" : "td")>"
            }
            return "<tr>" + cells.joined() + "</tr>"
        }
        return
            "<div class=\"scroll\"><table><caption>\(escaped(caption))</caption><thead><tr>\(heads.joined())</tr></thead><tbody>\n\(body.joined(separator: "\n"))\n</tbody></table></div>"
    }

    /// What stands in a table, and the very number it stands for.
    struct Cell {
        var text: String
        var value: Double?

        init(_ text: String, _ value: Double? = nil) { (self.text, self.value) = (text, value) }
    }

    static let style = """
        :root{color-scheme:light dark;--paper:#fff;--ink:#1c2430;--soft:#5b6675;--line:#d9dee6;--before:#9aa5b4;--now:#1f6fb8;--good:#1b7f4b;--bad:#b3421f;--band:#f4f6f9}
        @media (prefers-color-scheme:dark){:root{--paper:#14181f;--ink:#e6eaf0;--soft:#a1acba;--line:#313a47;--before:#6d7888;--now:#5aa9f0;--good:#57c78b;--bad:#f08a63;--band:#1c222b}}
        *{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
        main{max-width:72rem;margin:0 auto;padding:1.5rem 1rem 4rem}h1{font-size:1.6rem;line-height:1.25;margin:0 0 .5rem;overflow-wrap:anywhere}h2{font-size:1.15rem;margin:2.25rem 0 .75rem}
        p{margin:.5rem 0;max-width:70ch}code{font-family:ui-monospace,monospace;font-size:.9em;overflow-wrap:anywhere}.soft{color:var(--soft)}
        .scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}caption{text-align:left;color:var(--soft);padding-bottom:.4rem;font-size:.9rem}
        th,td{padding:.35rem .75rem .35rem 0;border-bottom:1px solid var(--line);text-align:left;font-weight:400;white-space:nowrap}thead th{color:var(--soft);font-size:.85rem}
        .n{text-align:right;padding-right:0;padding-left:.75rem}thead button{all:unset;cursor:pointer;font-size:.85rem}thead button:focus-visible{outline:2px solid var(--now)}
        th[aria-sort=ascending] button::after{content:" \\2191"}th[aria-sort=descending] button::after{content:" \\2193"}tbody tr:hover{background:var(--band)}
        svg{display:block;width:100%;height:auto;max-width:52rem;min-width:34rem}svg text{fill:var(--ink);font:13px system-ui,sans-serif}svg .soft{fill:var(--soft)}svg .n{text-anchor:end}
        .before{fill:var(--before)}.now{fill:var(--now)}.rule{stroke:var(--line);stroke-width:1}.zero{stroke:var(--soft);stroke-width:1;stroke-dasharray:3 3}.span{stroke:var(--now);stroke-width:3;stroke-linecap:round}
        ul{padding-left:1.2rem;margin:.5rem 0}li{overflow-wrap:anywhere}.met{color:var(--good)}.missed{color:var(--bad)}
        """

    /// Sorts a table by a column: numbers by the number they stand for, the rest by their letters.
    static let script = """
        for (const head of document.querySelectorAll('thead th')) head.querySelector('button').addEventListener('click', () => {
          const table = head.closest('table'), body = table.tBodies[0], place = [...head.parentNode.children].indexOf(head);
          const down = head.getAttribute('aria-sort') === 'ascending';
          for (const other of head.parentNode.children) other.removeAttribute('aria-sort');
          head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
          const key = row => { const cell = row.children[place]; return 'value' in cell.dataset ? Number(cell.dataset.value) : cell.textContent; };
          const order = (a, b) => typeof a === typeof b ? (typeof a === 'number' ? a - b : a.localeCompare(b)) : typeof a === 'number' ? -1 : 1;
          const rows = [...body.rows].sort((a, b) => order(key(a), key(b)));
          for (const row of down ? rows.reverse() : rows) body.append(row);
        });
        """
}
