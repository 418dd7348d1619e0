// TerminalCells: what a terminal program shows, as values. Imports nothing.
//
//   Grid/     Point, Size, Rect (split with rows(_:) and columns(_:) and Length), Cell, CellGrid, CellRun (grid differences)
//   Style/    Role (what a color means), Attributes, Style, Palette (roles per ColorTier), Glyphs (characters per GlyphTier),
//             Theme (both tiers; everything a widget may depend on)
//   Text/     Span, StyledLine, DisplayWidth, NumberFormat, Figure (measured, estimated, stale, absent), FuzzyMatch
//   Input/    Key, MouseEvent, InputEvent, with text forms for key maps and session logs
//   Widgets/  Panel, Paragraph, Table, ItemList, Tabs, KeyHints, Dialog, CommandList, TextField, Slider, Gauge,
//             ProgressBar, Toast, TooSmall; ListState (selection and scrolling)
//   Charts/   LineChart, ScatterChart, Histogram, HeatMap, Sparkline; Axis
//
// A view is a function from a model to a CellGrid:
//
//     var grid = CellGrid(size: size, tier: theme.glyphTier)
//     let parts = grid.bounds.rows([.fixed(1), .fill, .fixed(1)])
//     grid.draw(Tabs(["Explore", "Layers"], selected: 0), in: parts[0], theme: theme)
//     grid.draw(Panel(title: "Layers", isFocused: true), in: parts[1], theme: theme)
//     grid.draw(table, in: Panel.content(of: parts[1]), theme: theme)
//     grid.draw(KeyHints([KeyHint("enter", "edit")]), in: parts[2], theme: theme)
//
// Conventions: rectangles in cells from the top left; every widget copes with any rectangle and never draws outside it;
// meaning is never carried by color alone; in the ASCII tier only U+0020...U+007E reach the grid.
