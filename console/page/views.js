// The views of the console, in the order of the menu. A view is
//
//   {id, title, icon, stream, open(root, state, params)}
//
// open fills root, and returns {update(overview), go(params), close()}, each of which may be left
// out. stream names what of the figures the view needs: nodes, routes, schedulers or groups.
import { cluster } from "./cluster.js";
import { groups } from "./groups.js";
import { log } from "./log.js";
import { playground } from "./playground.js";
import { routes } from "./routes.js";
import { schedulers } from "./schedulers.js";
import { sessions } from "./sessions.js";

export const views = [cluster, sessions, groups, routes, schedulers, log, playground];
