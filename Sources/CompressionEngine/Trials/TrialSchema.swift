import GRDB

/// The tables, as a series of migrations. A migration that has been released never changes; new ones come after it.
enum TrialSchema {
    static var migrator: DatabaseMigrator {
        var migrator = DatabaseMigrator()
        migrator.registerMigration("1: trials") { database in
            try database.create(table: "trial") { table in
                table.primaryKey("address", .text)
                table.column("kind", .text).notNull()
                table.column("modelHash", .text).notNull()
                table.column("dataHash", .text).notNull()
                table.column("recipe", .text).notNull()
                table.column("runtime", .text).notNull()
                table.column("threads", .integer).notNull()
                table.column("figures", .text).notNull()
                table.column("created", .double).notNull()
                table.column("label", .text).notNull().defaults(to: "")
                table.column("isPinned", .boolean).notNull().defaults(to: false)
                table.column("parent", .text)
            }
            try database.create(index: "trialByModelAndData", on: "trial", columns: ["modelHash", "dataHash", "created"])
        }
        return migrator
    }
}

/// A row of the table.
struct TrialRow: Codable, FetchableRecord, PersistableRecord {
    static let databaseTableName = "trial"

    var address: String
    var kind: String
    var modelHash: String
    var dataHash: String
    var recipe: String
    var runtime: String
    var threads: Int
    var figures: String
    var created: Double
    var label: String
    var isPinned: Bool
    var parent: String?

    enum Columns {
        static let address = Column(CodingKeys.address)
        static let kind = Column(CodingKeys.kind)
        static let modelHash = Column(CodingKeys.modelHash)
        static let dataHash = Column(CodingKeys.dataHash)
        static let figures = Column(CodingKeys.figures)
        static let created = Column(CodingKeys.created)
        static let label = Column(CodingKeys.label)
        static let isPinned = Column(CodingKeys.isPinned)
    }
}
