// Purpose: What kgplug serves: one row per model, with its run, its lists, and edges that should not exist.
// Parameters: none.
// Returns: model, run, published, lists (number of users with one), edges (number in these lists), previous (the run
//          that `kgplug rollback` restores), stray_edges (number that are in no list of these two runs: a publish is
//          running or was killed), vectors (number of nodes with one), indexes (names; indexes.cypher has their state)
// Cost: reads every RECOMMENDS edge and every node once per model; seconds for millions of edges and nodes.
MATCH (model:KgplugModel) WHERE model.serves IS NOT NULL
MATCH (run:KgplugRun {model: model.name, number: model.serves})
OPTIONAL MATCH (previous:KgplugRun {model: model.name, number: model.previous})
RETURN model.name AS model, run.id AS run, toString(run.published) AS published,
       COUNT { MATCH (user:`User`)
               WHERE EXISTS { (user)-[:RECOMMENDS {model: model.name, edition: run.edition, run: run.id}]->() } } AS lists,
       COUNT { ()-[:RECOMMENDS {model: model.name, edition: run.edition, run: run.id}]->() } AS edges,
       previous.id AS previous,
       COUNT { ()-[edge:RECOMMENDS {model: model.name}]->()
               WHERE EXISTS { (:KgplugRun {id: edge.run, model: model.name}) }
                 AND NOT coalesce(edge.edition, -1) IN [run.edition, coalesce(previous.edition, -2)] } AS stray_edges,
       COUNT { MATCH (node) WHERE any(name IN run.properties WHERE node[name] IS NOT NULL) } AS vectors,
       [index IN run.indexes WHERE index <> ''] AS indexes
ORDER BY model
