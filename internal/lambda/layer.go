package lambda

import "coffer/internal/api"

func (s *Service) layerOperations() []api.Bound { return nil }

// layerAccess is what using layers takes.
func layerAccess(r *api.Request, arns []string) ([]api.Access, error) { return nil, nil }

// layerUses looks layers up for a function.
func layerUses(r *api.Request, arns []string) ([]LayerUse, error) { return nil, nil }
