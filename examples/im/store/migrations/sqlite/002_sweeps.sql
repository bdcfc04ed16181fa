CREATE INDEX pictures_unused ON pictures (created) WHERE used = 0;
CREATE INDEX pushes_expires ON pushes (expires);
CREATE INDEX answers_expires ON answers (expires);
